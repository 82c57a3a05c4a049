"""Keep runs as plain folders: JSON manifests and Parquet tables, read back whole or with SQL."""
