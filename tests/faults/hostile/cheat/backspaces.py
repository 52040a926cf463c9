# input wrong
print('7\b3', end='\r\x1b[2K')
