"""`mailer demo`: the whole road on one machine, with nothing to set up."""
