# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os, subprocess
for program in ('/usr/bin/su', '/usr/bin/passwd', '/usr/bin/mount', '/usr/bin/newgrp', '/usr/bin/sudo'):
    attempt(program, lambda: subprocess.run([program, '-c', 'id'], stdin=subprocess.DEVNULL, timeout=2).returncode == 0)
attempt('own', lambda: (open('s', 'w').close(), os.chmod('s', 0o4755), os.stat('s').st_uid == 0)[2])
print("escaped", seen) if seen else print("contained")
