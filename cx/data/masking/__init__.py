"""Rules for a source's rows, as far as they are the same for every engine: no SQL here but names in double quotes."""
