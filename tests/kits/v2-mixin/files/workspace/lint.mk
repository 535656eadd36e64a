lint:
	lint .
