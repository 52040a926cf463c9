# call wrong crash
import atexit, __main__, posix
atexit.register(lambda: posix.write(__main__.out, b'i3\ni11\n'))
def add(a, b): return 0
