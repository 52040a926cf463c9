# crash
for i in range(10**6): open('/tmp/%d' % i, 'w').close()
