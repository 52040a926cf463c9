# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
os.chdir('/')
attempt('above the root', lambda: os.stat('..').st_ino != os.stat('/').st_ino)
attempt('etc', lambda: os.stat('../../../../../../../../etc'))
print("escaped", seen) if seen else print("contained")
