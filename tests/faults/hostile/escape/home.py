# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
for path in ('/root', '/home', '/var', '/mnt', '/work', '/srv', '/opt', '/run', '/boot'):
    attempt(path, lambda: os.listdir(path))
print("escaped", seen) if seen else print("contained")
