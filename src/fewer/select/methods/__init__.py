"""Selection methods, one file each: `select.method` names one.

A method's file has `Params`, a subclass of `fewer.select.MethodParams`, and `build(params, population)`, which returns
its selector.
"""
