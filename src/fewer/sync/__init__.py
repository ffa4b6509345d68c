"""How workers agree, one file a method; and `comm`, how processes exchange tensors."""
