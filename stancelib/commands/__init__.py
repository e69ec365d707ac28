"""Commands of the command line beside predict, analyze and info: each module holds one."""
