"""How mail leaves: the ledger, what replies mean, the sessions with the relay, and the sender that joins them."""
