"""Stories that people can read: commands, and what each of them led to."""
