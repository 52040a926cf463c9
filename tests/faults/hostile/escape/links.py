# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
os.symlink('/etc/passwd', 'l')
attempt('link', lambda: open('l').read())
attempt('hard', lambda: os.link('/usr/bin/python3', 'h'))
os.symlink('/', 'r')
attempt('root', lambda: os.listdir('r/etc'))
print("escaped", seen) if seen else print("contained")
