# input crash
a, b = map(int, input().split())
print(a + b)
raise RuntimeError('done')
