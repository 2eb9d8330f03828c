"""What is sent: issues read from their folders, their states, their weekly slots."""
