# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
for path in ('/proc', '/proc/1/environ', '/proc/self/status', '/proc/self/mem', '/sys', '/sys/fs/cgroup'):
    attempt(path, lambda: os.stat(path))
print("escaped", seen) if seen else print("contained")
