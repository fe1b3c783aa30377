using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Agent.Core;

namespace Agent.Host.Reading;

/// <summary>
/// The addresses of the network interfaces, by getifaddrs(3). The class library's own list also reads the resolver's
/// configuration, and fails in a container that has none.
/// </summary>
internal static unsafe partial class InterfaceAddresses
{
    private const ushort Inet = 2;
    private const ushort Inet6 = 10;

    /// <summary>Every interface with its first address of each family; empty when the kernel does not tell.</summary>
    public static InterfaceAddress[] Read()
    {
        if (GetIfAddrs(out var list) != 0)
        {
            return [];
        }

        try
        {
            var found = new List<InterfaceAddress>();

            for (var entry = list; entry is not null; entry = entry->Next)
            {
                var name = Marshal.PtrToStringUTF8((nint)entry->Name) ?? "";
                var at = found.FindIndex(known => known.Name == name);
                var known = at < 0 ? new InterfaceAddress(name, iPv4: "", iPv6: "") : found[at];
                var next = With(known, entry->Address);

                if (at < 0)
                {
                    found.Add(next);
                }
                else
                {
                    found[at] = next;
                }
            }

            return [.. found];
        }
        finally
        {
            FreeIfAddrs(list);
        }
    }

    // struct sockaddr_in: family 0, port 2, address 4; struct sockaddr_in6: family 0, port 2, flow 4, address 8.
    private static InterfaceAddress With(InterfaceAddress known, byte* address) =>
        address is null ? known : Unsafe.ReadUnaligned<ushort>(address) switch
        {
            Inet when known.IPv4.Length == 0 => new InterfaceAddress(known.Name, Text(address + 4, 4), known.IPv6),
            Inet6 when known.IPv6.Length == 0 => new InterfaceAddress(known.Name, known.IPv4, Text(address + 8, 16)),
            _ => known,
        };

    private static string Text(byte* address, int length) =>
        new IPAddress(new ReadOnlySpan<byte>(address, length)).ToString();

    [LibraryImport("libc", EntryPoint = "getifaddrs")]
    private static partial int GetIfAddrs(out IfAddrs* list);

    [LibraryImport("libc", EntryPoint = "freeifaddrs")]
    private static partial void FreeIfAddrs(IfAddrs* list);

    /// <summary>The head of struct ifaddrs.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct IfAddrs
    {
        public IfAddrs* Next;
        public byte* Name;
        public uint Flags;
        public byte* Address;
    }
}
