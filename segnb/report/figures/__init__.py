"""The figures of the report: data in, picture out, with its alt text; a module for each topic."""
