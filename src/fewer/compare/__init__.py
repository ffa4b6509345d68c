"""Evidence: variants of a recipe against plain training, over paired seeds, at equal quality and at equal cost.

`variants` reads what is to be compared, `arms` adds plain training at several budgets, `runs` trains what is missing,
`verdict` judges, `summary` brings it together, `page` and `files` show it. `frames` reads run folders into pandas.
"""
