# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
for what in (os.setuid, os.setgid, os.seteuid, os.setegid): attempt(what.__name__, lambda: what(0))
attempt('groups', lambda: os.setgroups([0]))
attempt('uid', lambda: os.getuid() == 0 or os.geteuid() == 0 or os.getgid() == 0)
print("escaped", seen) if seen else print("contained")
