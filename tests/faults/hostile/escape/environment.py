# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('environment', lambda: set(os.environ) - {'PYTHONHASHSEED', 'LC_CTYPE'} or False)
print("escaped", seen) if seen else print("contained")
