# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
attempt('files', lambda: set(os.listdir('/tmp')) - {'answer.py', 'main.py'} or False)
open('/tmp/left-for-the-next', 'w').write('x')
os.mkdir('/tmp/left')
print("escaped", seen) if seen else print("contained")
