# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('write the input', lambda: os.write(0, b'x'))
attempt('grow the input', lambda: os.ftruncate(0, 1 << 20))
print("escaped", seen) if seen else print("contained")
