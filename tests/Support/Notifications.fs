/// A service manager, as far as the agent can tell: a datagram socket that keeps what it is told.
module Agent.TestSupport.Notifications

open System
open System.Collections.Concurrent
open System.IO
open System.Net.Sockets
open System.Text
open System.Threading

/// Listens until it is disposed of. `address` is what goes into NOTIFY_SOCKET: a path, or @ and an abstract name.
type NotifySocket(address: string) =
    let messages = ConcurrentQueue<string>()
    let socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified)

    let listen () =
        let buffer = Array.zeroCreate<byte> 4096

        try
            while true do
                let count = socket.Receive buffer
                messages.Enqueue(Encoding.UTF8.GetString(buffer, 0, count))
        with
        | :? SocketException
        | :? ObjectDisposedException -> ()

    do
        let name =
            if address.StartsWith '@' then
                "\000" + address.Substring 1
            else
                address

        socket.Bind(UnixDomainSocketEndPoint name)
        Thread(listen, IsBackground = true).Start()

    /// What it was told, in order.
    member _.Messages: string list = List.ofSeq messages

    /// How often it was told this.
    member this.Count(message: string) : int =
        this.Messages |> List.filter ((=) message) |> List.length

    /// The texts of the states it was told.
    member this.States: string list =
        this.Messages
        |> List.choose (fun message ->
            if message.StartsWith("STATUS=", StringComparison.Ordinal) then
                Some(message.Substring 7)
            else
                None)

    interface IDisposable with
        member _.Dispose() =
            socket.Dispose()

            if not (address.StartsWith '@') then
                File.Delete address
