# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('name', lambda: os.uname().nodename != 'sandbox')
print("escaped", seen) if seen else print("contained")
