"""Selection methods, one file each: `select.method` names one.

A method's file has `Params`, a subclass of `fewer.select.MethodParams`, and `build(params, population)`, which returns
its selector.
"""

from fewer.core.registry import Registry

METHODS = Registry("fewer.select.methods", "selection method", "fewer.select", "method", aliases={"everything": "full"})
