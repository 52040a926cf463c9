# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
for path in ('/x', '/usr/x', '/usr/bin/x', '/usr/lib/python3/dist-packages/x.py', '/dev/x', '/bin/x'):
    attempt(path, lambda: open(path, 'w'))
attempt('rename', lambda: os.rename('/usr/bin', '/usr/bin2'))
attempt('remove', lambda: os.unlink('/usr/bin/python3'))
attempt('mode', lambda: os.chmod('/usr/bin/python3', 0o777))
print("escaped", seen) if seen else print("contained")
