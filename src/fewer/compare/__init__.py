"""Evidence: variants of a recipe against plain training, over paired seeds, at equal quality and at equal cost.

`variants` reads the variants, `arms` adds plain training at several budgets, `grid` trains the missing runs, `verdict`
judges, `results` makes one document, `comparison_page` and `output` write it. `frames` reads run folders into pandas.
"""
