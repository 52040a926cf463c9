# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os, stat
attempt('device', lambda: os.mknod('d', 0o666 | stat.S_IFBLK, os.makedev(8, 0)))
attempt('char', lambda: os.mknod('c', 0o666 | stat.S_IFCHR, os.makedev(1, 1)))
print("escaped", seen) if seen else print("contained")
