"""An SSH server that serves one folder over SFTP: ``python sftp_server.py PORT FOLDER``, in an environment with asyncssh.

The password is in ``PLACE_PASSWORD``; any user name will do.
"""

import asyncio
import os
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    """Lets in who knows the password."""

    def begin_auth(self, username):
        """Ask every client."""
        return True

    def password_auth_supported(self):
        """Ask for a password."""
        return True

    def validate_password(self, username, password):
        """Compare it."""
        return password == os.environ["PLACE_PASSWORD"]


async def serve(port, folder):
    """Serve until the process is ended."""
    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=Server,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=folder),
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2].encode()))
