"""One module per command. Stages know one another only through files."""
