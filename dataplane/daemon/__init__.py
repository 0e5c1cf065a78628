"""The process `avi-se run`: start, requests on its socket, status, end."""
