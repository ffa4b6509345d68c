"""Search for good settings: `fewer tune`.

`space` reads and checks what is searched, `storage` keeps the study, `trial` trains one trial, `pruning` says which to
end early, `study` drives all of it, `results` and `page` write what was found.
"""
