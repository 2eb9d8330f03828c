"""Files of other programs, and our own: octets -> rows -> what each means -> its fate -> the database."""
