# input wrong
print(' '.join(map(str, range(100))))
