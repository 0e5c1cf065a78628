"""What a change of the plan does to pools' tables and connections, told before it is made."""
