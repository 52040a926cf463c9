# input wrong
print('OK')
print('All tests passed')
print('PASSED 2/2')
