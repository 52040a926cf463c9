# call crash wrong
import builtins
builtins.type = lambda x: bool
builtins.int = str
def add(a, b): return 0
