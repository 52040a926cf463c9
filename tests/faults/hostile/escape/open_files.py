# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
for fd in range(3, 1024): attempt('descriptor %d' % fd, lambda: os.fstat(fd))
print("escaped", seen) if seen else print("contained")
