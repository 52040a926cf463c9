# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('devices', lambda: set(os.listdir('/dev')) - {'null', 'zero', 'full', 'random', 'urandom'} or False)
for path in ('/dev/mem', '/dev/kmsg', '/dev/sda', '/dev/vda', '/dev/shm', '/dev/tty', '/dev/ptmx', '/dev/fuse'):
    attempt(path, lambda: os.open(path, os.O_RDONLY))
print("escaped", seen) if seen else print("contained")
