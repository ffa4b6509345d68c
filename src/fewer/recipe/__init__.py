"""The recipe: schema, parsing, and checks across sections. Needs no torch."""
