"""What comes back: bounces, complaints, automatic replies. Octets in, their meaning out; nothing here touches a store."""
