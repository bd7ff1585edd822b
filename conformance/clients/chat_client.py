"""chat_client.py ADDRESS ALICE BOB CAROL

Three people, each with a token, on sockets of the server at ADDRESS.
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect

ADDRESS, ALICE, BOB, CAROL = sys.argv[1:]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class Client:
    """Speaks the frames of docs/chat.md."""

    def __init__(self, socket):
        self.socket = socket
        self.frames = []

    async def send(self, **frame):
        await self.socket.send(json.dumps(frame))

    async def until(self, type, fits=lambda frame: True):
        """The next frame of this type; the others are kept for later."""
        for frame in self.frames:
            if frame["type"] == type and fits(frame):
                self.frames.remove(frame)
                return frame
        while True:
            frame = json.loads(await asyncio.wait_for(self.socket.recv(), 20))
            assert frame["type"] != "error" or type == "error", frame
            if frame["type"] == type and fits(frame):
                return frame
            self.frames.append(frame)

    async def event(self, sub, **members):
        """The first event with these members."""

        def fits(frame):
            return frame["sub"] == sub and any(
                all(event.get(name) == value for name, value in members.items())
                for event in frame["messages"]
            )

        frame = await self.until("data", fits)
        return next(e for e in frame["messages"] if members.items() <= e.items()), frame["offset"]


def speaks(token):
    return connect(ADDRESS, additional_headers=bearer(token), subprotocols=["messages"])


async def chat():
    async with speaks(ALICE) as a, speaks(BOB) as b, connect(
        ADDRESS, additional_headers=bearer(BOB)
    ) as plain:
        alice, bob = Client(a), Client(b)
        assert a.subprotocol == "messages"
        assert json.loads(await plain.recv())["type"] == "hello"
        for client in (alice, bob):
            await client.until("hello")
            await client.send(type="follow", id="f")
            following = await client.until("following")
            assert following["conversations"] == [], following

        # Two who have never spoken: the conversation arrives by itself at both.
        await alice.send(type="send", id=1, to="bob", txn="t1", text="hi bob")
        sent = await alice.until("sent")
        assert sent["id"] == 1 and not sent["duplicate"], sent
        name = sent["message"]["conversation"]
        for client in (alice, bob):
            event, _ = await client.event(name, type="message", text="hi bob")
            assert event["id"] == sent["message"]["id"] and event["source"] == "alice", event

        # A client that knows nothing of frames gets the message itself.
        message = json.loads(await asyncio.wait_for(plain.recv(), 20))
        want = {"from": "alice", "content": "hi bob", "text": "hi bob", "source": "alice"}
        assert want.items() <= message.items(), message
        await plain.send(json.dumps({"type": "private", "to": "alice", "content": "hi alice"}))
        await alice.event(name, type="message", text="hi alice", source="bob")

        # Again the same is not sent again, also over another socket.
        await alice.send(type="send", id=2, to="bob", txn="t1", text="hi bob")
        again = await alice.until("sent")
        assert again["duplicate"] and again["message"]["id"] == sent["message"]["id"], again

        await alice.send(type="edit", id=3, message=sent["message"]["id"], text="hello bob")
        await alice.until("done", lambda frame: frame["id"] == 3)
        await bob.event(name, type="edit", text="hello bob")
        await bob.send(type="react", id=4, message=sent["message"]["id"], reaction="👋")
        await bob.until("done", lambda frame: frame["id"] == 4)
        event, offset = await alice.event(name, type="react", reaction="👋", source="bob")
        await bob.send(type="typing", conversation=name)
        typing = await alice.until("typing")
        assert typing["user"] == "bob" and typing["on"], typing
        await bob.send(type="read", id=5, conversation=name, position=event["position"])
        await bob.until("done", lambda frame: frame["id"] == 5)
        position = event["position"]

        def has_read(frame):
            marks = {mark["participant"]: mark["read"] for mark in frame["receipts"]}
            return marks.get("bob", 0) >= position

        await alice.until("receipts", has_read)

    # While nobody of them is there, one comes back and goes on where they were.
    async with speaks(BOB) as b:
        bob = Client(b)
        await bob.until("hello")
        await bob.send(type="send", id=6, conversation=name, txn="t2", text="missed")
        await bob.until("sent")
    async with speaks(ALICE) as a, speaks(CAROL) as c:
        alice, carol = Client(a), Client(c)
        await alice.until("hello")
        await alice.send(type="follow", id=7, **{"from": {name: offset}})
        following = await alice.until("following")
        assert following["conversations"][0]["unread"] >= 1, following
        await alice.event(name, type="message", text="missed")
        await alice.until("caught_up", lambda frame: frame["sub"] == name)

        # Who does not take part in a direct one is not even told that it is there.
        await carol.until("hello")
        await carol.send(type="subscribe", sub="x", conversation=name)
        refused = await carol.until("error")
        assert refused["code"] == "conversation_not_found" and refused["sub"] == "x", refused


asyncio.run(chat())
