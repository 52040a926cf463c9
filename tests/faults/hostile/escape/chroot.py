# contained
seen = []
def attempt(what, call):
    try: result = call()
    except BaseException: return
    if result is not False: seen.append(what)
import os
os.mkdir('jail')
top = os.open('/', os.O_RDONLY)
def leave():
    os.chroot('jail')
    os.fchdir(top)
    for i in range(100): os.chdir('..')
    os.chroot('.')
attempt('chroot', leave)
print("escaped", seen) if seen else print("contained")
