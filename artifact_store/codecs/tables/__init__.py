"""Tables in Parquet: Arrow, pandas and polars."""
