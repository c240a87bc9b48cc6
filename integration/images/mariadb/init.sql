-- Without a user for other hosts the server refuses strangers before it tells its version.
CREATE USER IF NOT EXISTS 'nobody'@'%' ACCOUNT LOCK;
