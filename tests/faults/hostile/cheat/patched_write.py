# call crash wrong
import posix
posix.write = lambda fd, data: len(data)
def add(a, b): return 0
