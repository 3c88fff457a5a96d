"""The schema's history. A new step: `alembic -x db=sqlite:///FILE revision --autogenerate -m "words"` in the checkout, then read what it wrote."""
