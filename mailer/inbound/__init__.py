"""What comes back: bounces, complaints, automatic replies: octets in, their meaning out. Reading touches no store."""
