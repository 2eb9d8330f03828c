"""Who reads: addresses, subscriptions and their states, consent, suppression."""
