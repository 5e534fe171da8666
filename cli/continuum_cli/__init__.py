"""The `continuum` command. Each command is imported when it is used, so that the others start fast."""
