# call crash wrong
import sys
m = sys.modules['__main__']
m.write = lambda x, depth=0: 't'
m.calls = []
def add(a, b): return 0
